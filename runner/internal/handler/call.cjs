// Calls one function of the user's code: `node call.cjs NAME CODE ARGUMENTS...`.
//
// The function gets the JSON that SOULBOX_INPUT names, or null; what it returns, or what that
// promise gives, is written as JSON to SOULBOX_RESULT. All else is as if CODE itself had been run.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const util = require('node:util');
const { pathToFileURL } = require('node:url');

const [, name] = process.argv.splice(1, 2);
const code = process.argv[1];
const { SOULBOX_INPUT: input, SOULBOX_RESULT: result } = process.env;
let over = false;

// Not in a line of the code, but between the code and us.
class HandlerError extends Error {}

// import() takes no file without an extension before Node 20.
function load() {
  if (path.extname(code)) return import(pathToFileURL(code));
  return Promise.resolve(code).then(require).then((exported) => ({ default: exported }));
}

function find(loaded) {
  const main = loaded.default; // of CommonJS all its exports
  const exported = new Set();
  for (const holder of [loaded, main]) {
    if (holder === null || !['object', 'function'].includes(typeof holder)) continue;
    if (Object.hasOwn(holder, name) && typeof holder[name] === 'function') return holder[name].bind(holder);
    for (const key of Object.keys(holder)) if (typeof holder[key] === 'function') exported.add(key);
  }
  if (typeof main === 'function' && main.name === name) return main;
  const found = exported.size > 0 ? `it exports ${[...exported].slice(0, 16).join(', ')}` : 'it exports none at all';
  throw new HandlerError(`the code exports no function ${name}; ${found}`);
}

function readInput() {
  if (input === undefined) return null;
  const text = fs.readFileSync(input, 'utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HandlerError(`the input cannot be read as JSON: ${error.message}`);
  }
}

// What JSON.stringify would turn into something else without a word.
function unfit(value) {
  if (typeof value === 'number') return Number.isFinite(value) ? '' : String(value);
  if (['bigint', 'function', 'symbol'].includes(typeof value)) return `a ${typeof value}`;
  const kind = [Map, Set, Promise].find((each) => value instanceof each);
  return kind === undefined ? '' : `a ${kind.name}`;
}

function toJSON(value) {
  const refuse = (words) => {
    throw new HandlerError(`what ${name} returned cannot be written as JSON: ${words}`);
  };
  try {
    return JSON.stringify(value, function (key, each) {
      const what = unfit(each);
      if (what !== '') refuse(key === '' ? `it is ${what}` : `its ${JSON.stringify(key)} is ${what}`);
      return each;
    }) ?? 'null';
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    return refuse(error.message.split('\n', 1)[0]);
  }
}

// As Node tells of an uncaught exception, in a place that is the user's.
function tell(words) {
  process.stderr.write(`${code}:1\n${name}\n^\n\n${words}\n\nNode.js ${process.version}\n`);
}

process.once('beforeExit', () => {
  if (over) return;
  process.exitCode = 1;
  tell(`HandlerError: ${name} waits for what never comes: nothing is left to be done`);
});

function fail(error) {
  process.exitCode = 1;
  if (error instanceof HandlerError) tell(`HandlerError: ${error.message}`);
  else if (error instanceof Error || util.types.isNativeError(error)) throw error; // to Node: unhandled
  else tell(`${util.inspect(error)}\n(Use \`node --trace-uncaught ...\` to show where the exception was thrown)`);
}

// Code is called by promises alone, and never by us: so we are in no stack of its errors.
load()
  .then(find)
  .then((handler) => Promise.resolve(readInput()).then(handler))
  .then((value) => fs.writeFileSync(result, toJSON(value)))
  .catch(fail)
  .finally(() => { over = true; });
