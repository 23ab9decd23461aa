// Package sign checks that a request comes from the operator: an Ed25519
// signature over method, path, query, body, pod, time and nonce. Only public
// keys are in the pod, so a program that reads all of it still cannot sign.
package sign

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Window is how far the caller's clock may be from ours, either way.
const Window = 30 * time.Second

// Names of the headers of a signed request. HeaderTime is on every reply too.
const (
	HeaderKeyID     = "Soulbox-Key-Id"
	HeaderTime      = "Soulbox-Time"
	HeaderNonce     = "Soulbox-Nonce"
	HeaderSignature = "Soulbox-Signature"
)

// Error is a refusal; Code is the word the caller sees.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Keys maps key ids to public keys.
type Keys map[string]ed25519.PublicKey

// KeyID is the hex of the first 8 bytes of the SHA-256 of the raw public key.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return hex.EncodeToString(sum[:8])
}

// ParseKeys reads "keyid:base64rawpub[,keyid:base64rawpub…]". A key whose id
// does not fit it is an error: it would make every call an UnknownKey.
func ParseKeys(text string) (Keys, error) {
	keys := Keys{}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		id, b64, ok := strings.Cut(part, ":")
		if !ok {
			return nil, fmt.Errorf("key %q is not keyid:base64", part)
		}
		raw, err := base64.StdEncoding.DecodeString(b64)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("key %s is not base64 of %d bytes", id, ed25519.PublicKeySize)
		}
		if KeyID(raw) != id {
			return nil, fmt.Errorf("key id %s does not belong to its key, whose id is %s", id, KeyID(raw))
		}
		keys[id] = raw
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key given")
	}
	return keys, nil
}

// Message builds the bytes that are signed. Target is the request target as
// it was sent: the escaped path and, after a "?", the raw query.
func Message(method, target string, body []byte, podUID, timeMilliseconds, nonce string) []byte {
	path, query, _ := strings.Cut(target, "?")
	sum := sha256.Sum256(body)
	return []byte(strings.Join([]string{
		"soulbox-v1", method, path, query, hex.EncodeToString(sum[:]), podUID, timeMilliseconds, nonce,
	}, "\n"))
}

// Verifier checks requests for one pod.
type Verifier struct {
	keys   Keys
	podUID string
	now    func() time.Time
	nonces *nonceWindow
}

// NewVerifier checks requests to the pod with that uid. Now is the wall clock.
func NewVerifier(keys Keys, podUID string, now func() time.Time) *Verifier {
	return &Verifier{keys: keys, podUID: podUID, now: now, nonces: newNonceWindow()}
}

// Precheck looks at the headers alone, so that a caller without a known key
// cannot make the runner read a body.
func (v *Verifier) Precheck(h http.Header) error {
	if h.Get(HeaderSignature) == "" || h.Get(HeaderKeyID) == "" {
		return &Error{"Unauthorized", "the request is not signed"}
	}
	if _, ok := v.keys[h.Get(HeaderKeyID)]; !ok {
		return &Error{"UnknownKey", "the key id is not one this pod was made with"}
	}
	return nil
}

// Verify checks the whole request and remembers its nonce. Its errors are of
// type *Error. Time and nonce are judged after the signature: only a holder
// of the key learns about our clock from them, or can fill the nonce table.
func (v *Verifier) Verify(method, target string, h http.Header, body []byte) error {
	if err := v.Precheck(h); err != nil {
		return err
	}
	stamp, nonce := h.Get(HeaderTime), h.Get(HeaderNonce)
	text := h.Get(HeaderSignature)
	signature, err := base64.StdEncoding.DecodeString(text)
	// In one spelling only: of the last digit four bits mean nothing, and line breaks are skipped.
	if err != nil || len(signature) != ed25519.SignatureSize || base64.StdEncoding.EncodeToString(signature) != text {
		return &Error{"Unauthorized", HeaderSignature + " is not base64 of 64 bytes"}
	}
	key, ok := parseNonce(nonce)
	if !ok {
		return &Error{"Unauthorized", HeaderNonce + " is not 32 lower-case hex characters"}
	}
	millis, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return &Error{"Unauthorized", HeaderTime + " is not a decimal number of milliseconds"}
	}
	message := Message(method, target, body, v.podUID, stamp, nonce)
	if !ed25519.Verify(v.keys[h.Get(HeaderKeyID)], message, signature) {
		return &Error{"Unauthorized", "the signature does not fit this request to this pod"}
	}
	now := v.now()
	skew := now.Sub(time.UnixMilli(millis))
	if skew > Window || skew < -Window {
		return &Error{"ClockSkew", fmt.Sprintf("the request's time is %v from the runner's clock", skew.Round(time.Millisecond))}
	}
	if !v.nonces.add(key, now) {
		return &Error{"Replay", "the nonce was seen before"}
	}
	return nil
}
