package sign

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// edit changes a text as an attacker on the way would.
func edit(text string, how uint8, at uint16, value string) string {
	i := int(at) % (len(text) + 1)
	switch how % 4 {
	case 0:
		return value
	case 1: // put in
		return text[:i] + value + text[i:]
	case 2: // take out
		return text[:i] + text[min(i+len(value), len(text)):]
	default: // write over
		return text[:i] + value + text[min(i+len(value), len(text)):]
	}
}

// sameTarget: a "?" with nothing behind it asks for the same.
func sameTarget(a, b string) bool {
	return a == b || strings.TrimSuffix(a, "?") == strings.TrimSuffix(b, "?")
}

// What was signed is accepted once; what differs from it in anything, never.
func FuzzVerify(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	keys := Keys{KeyID(public): public}
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	const nonce = "00112233445566778899aabbccddeeff"
	for field := range uint8(8) {
		for how := range uint8(4) {
			f.Add("PUT", "/v1/executions/a/1?wait=1s", []byte("{}"), nonce, int64(0), field, how, uint16(3), "x")
		}
	}
	f.Add("GET", "/v1/stats", []byte{}, nonce, int64(30_000), uint8(0), uint8(2), uint16(0), "")
	f.Add("GET", "/v1/stats", []byte{}, nonce, int64(-30_001), uint8(0), uint8(2), uint16(0), "")
	for i := range 64 { // the last digit has four bits that mean nothing
		digit := base64.StdEncoding.EncodeToString([]byte{byte(i << 2)})[:1]
		f.Add("GET", "/v1/stats", []byte{}, nonce, int64(0), uint8(6), uint8(3), uint16(85), digit)
	}
	f.Add("GET", "/v1/stats", []byte{}, nonce, int64(0), uint8(6), uint8(1), uint16(88), "=")    // one = too many
	f.Add("GET", "/v1/stats", []byte{}, nonce, int64(0), uint8(5), uint8(0), uint16(0), "AABB")  // a nonce in capitals
	f.Add("GET", "/v1/stats?", []byte{}, nonce, int64(0), uint8(1), uint8(0), uint16(0), "/v1")  // an empty query
	f.Add("GET", "/v1/stats", []byte{}, nonce, int64(0), uint8(4), uint8(1), uint16(0), "+")     // another spelling of the time
	f.Add("GET", "/v1/stats", []byte{}, nonce, int64(0), uint8(7), uint8(0), uint16(0), "other") // for another pod
	f.Fuzz(func(t *testing.T, method, target string, body []byte, nonce string, ahead int64, field, how uint8, at uint16, value string) {
		const pod = "0b0e7f0c-5a5e-4a55-9d5e-3f0a1c2b3d4e"
		honest := signed{method, target, pod, nonce, body, now.Add(time.Duration(ahead%100_000) * time.Millisecond), key}
		if field%8 == 7 {
			honest.pod = edit(pod, how, at, value)
		}
		header := honest.header()
		sent := honest
		changed := func(name string) bool {
			before := header.Get(name)
			header[name] = []string{edit(before, how, at, value)}
			return header[name][0] != before
		}
		altered := false
		switch field % 8 {
		case 0:
			sent.method = edit(method, how, at, value)
			altered = sent.method != method
		case 1:
			sent.target = edit(target, how, at, value)
			altered = !sameTarget(sent.target, target)
		case 2:
			sent.body = []byte(edit(string(body), how, at, value))
			altered = string(sent.body) != string(body)
		case 3:
			altered = changed(HeaderKeyID)
		case 4:
			altered = changed(HeaderTime)
		case 5:
			altered = changed(HeaderNonce)
		case 6:
			altered = changed(HeaderSignature)
		case 7:
			altered = honest.pod != pod
		}
		for _, text := range []string{method, target, sent.method, sent.target} {
			if strings.ContainsAny(text, "\r\n") {
				t.Skip("no such line comes over HTTP")
			}
		}
		verifier := NewVerifier(keys, pod, func() time.Time { return now })
		err := verifier.Verify(sent.method, sent.target, header, sent.body)
		var refusal *Error
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("an error of type %T", err)
		}
		skew := now.Sub(honest.at)
		_, goodNonce := parseNonce(nonce)
		fits := !altered && goodNonce && skew <= Window && skew >= -Window
		if fits != (err == nil) {
			t.Fatalf("altered %v, nonce good %v, skew %v: %v", altered, goodNonce, skew, err)
		}
		if again := verifier.Verify(sent.method, sent.target, header, sent.body); again == nil {
			t.Fatal("accepted twice")
		}
	})
}

// Whatever a stranger sends: without the private key it is refused, by a word.
func FuzzForged(f *testing.F) {
	public := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	verifier := NewVerifier(Keys{KeyID(public): public}, "pod", func() time.Time { return time.UnixMilli(1_000_000) })
	zero := base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))
	f.Add("GET", "/", KeyID(public), "1000000", "00112233445566778899aabbccddeeff", zero, []byte{})
	f.Add("GET", "/", KeyID(public), "-9223372036854775808", "00112233445566778899aabbccddeeff", zero, []byte{1})
	f.Add("", "", "", "", "", "", []byte{})
	f.Fuzz(func(t *testing.T, method, target, id, stamp, nonce, signature string, body []byte) {
		header := http.Header{HeaderKeyID: {id}, HeaderTime: {stamp}, HeaderNonce: {nonce}, HeaderSignature: {signature}}
		var refusal *Error
		if err := verifier.Verify(method, target, header, body); !errors.As(err, &refusal) || len(refusal.Message) > 200 {
			t.Fatalf("%v", err)
		}
	})
}

// A nonce is never taken twice while a request that bears it could be in time, whatever
// the clock does; and the window is bounded.
func FuzzNonces(f *testing.F) {
	f.Add([]byte{1, 0, 1, 200, 1, 255, 1, 0, 2, 29, 1, 61, 1})
	f.Add([]byte{1, 0, 1, 59, 1, 1, 1, 60, 1, 60, 1, 120, 1, 121, 1})
	f.Fuzz(func(t *testing.T, steps []byte) {
		window, now := newNonceWindow(), time.Unix(1_000_000, 0)
		taken := map[byte]time.Time{}
		for i := 0; i+1 < len(steps); i += 2 {
			now = now.Add(time.Duration(steps[i]) * time.Second)
			nonce := steps[i+1]
			first, known := taken[nonce]
			added := window.add([16]byte{nonce}, now)
			if known && now.Sub(first) < 2*Window && added {
				t.Fatalf("nonce %d again after %v", nonce, now.Sub(first))
			}
			if !known && !added {
				t.Fatalf("nonce %d refused at once", nonce)
			}
			if added {
				taken[nonce] = now
			}
		}
		if len(window.young)+len(window.old) > len(taken) {
			t.Fatal("it remembers more than it saw")
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add("56475aa75463474c:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")
	f.Add(" , 56475aa75463474c:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=,")
	f.Add("a:b,:,::")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(text)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for id, key := range keys {
			if len(key) != ed25519.PublicKeySize || KeyID(key) != id {
				t.Fatalf("key %q does not belong to its id", id)
			}
		}
	})
}
