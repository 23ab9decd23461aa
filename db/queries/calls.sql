-- functions_named --
-- Functions that have or had a name, the newest first.
SELECT uid FROM soulbox.functions(in_namespace => %(namespace)s, of_name => %(name)s)
 ORDER BY created_at DESC, uid;

-- stored_inputs --
-- A page of the inputs that a Function was called with, the newest first; none is null.
SELECT uid, created_at, name, function_version, reason, coalesce(input, 'null')::text AS input
  FROM soulbox.executions(of_function => %(function)s, from_at => %(since)s, after_at => %(after_at)s,
                          after_uid => %(after_uid)s, max_rows => %(limit)s)
 ORDER BY created_at DESC, uid;
