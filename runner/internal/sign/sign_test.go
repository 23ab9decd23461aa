package sign

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"
)

type vectors struct {
	SeedHex         string
	PublicKeyBase64 string
	KeyID           string
	PublicKeysEnv   string
	Cases           []struct {
		Method, Target, Body, PodUID, Nonce, Message string
		TimeMilliseconds                             int64
		Headers                                      map[string]string
	}
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("../../testdata/wire/signing-vectors.json")
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil || len(v.Cases) == 0 {
		t.Fatalf("signing vectors: %v", err)
	}
	return v
}

func TestSigningVectors(t *testing.T) {
	v := readVectors(t)
	seed, _ := hex.DecodeString(v.SeedHex)
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	if KeyID(public) != v.KeyID || base64.StdEncoding.EncodeToString(public) != v.PublicKeyBase64 {
		t.Fatalf("key %x has id %s", public, KeyID(public))
	}
	keys, err := ParseKeys(v.PublicKeysEnv)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range v.Cases {
		stamp := strconv.FormatInt(c.TimeMilliseconds, 10)
		message := Message(c.Method, c.Target, []byte(c.Body), c.PodUID, stamp, c.Nonce)
		if string(message) != c.Message {
			t.Errorf("case %d: message %q, want %q", i, message, c.Message)
		}
		signature := base64.StdEncoding.EncodeToString(ed25519.Sign(private, message))
		if signature != c.Headers[HeaderSignature] {
			t.Errorf("case %d: signature %s, want %s", i, signature, c.Headers[HeaderSignature])
		}
		header := http.Header{}
		for name, value := range c.Headers {
			header.Set(name, value)
		}
		verifier := NewVerifier(keys, c.PodUID, func() time.Time { return time.UnixMilli(c.TimeMilliseconds) })
		if err := verifier.Verify(c.Method, c.Target, header, []byte(c.Body)); err != nil {
			t.Errorf("case %d: %v", i, err)
		}
	}
}

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// signed makes a request as the operator would, then lets the test spoil it.
type signed struct {
	method, target, pod, nonce string
	body                       []byte
	at                         time.Time
	key                        ed25519.PrivateKey
}

func (s signed) header() http.Header {
	stamp := strconv.FormatInt(s.at.UnixMilli(), 10)
	h := http.Header{}
	h.Set(HeaderKeyID, KeyID(s.key.Public().(ed25519.PublicKey)))
	h.Set(HeaderTime, stamp)
	h.Set(HeaderNonce, s.nonce)
	message := Message(s.method, s.target, s.body, s.pod, stamp, s.nonce)
	h.Set(HeaderSignature, base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, message)))
	return h
}

func TestVerify(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	_, stranger, _ := ed25519.GenerateKey(nil)
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	good := signed{"PUT", "/v1/executions/a/1?wait=1s", "pod", fmt.Sprintf("%032x", 1), []byte("{}"), start, key}
	cases := map[string]struct {
		change   func(*signed)
		send     func(h http.Header, s *signed)
		wantCode string
	}{
		"as signed":               {wantCode: ""},
		"29 s behind":             {change: func(s *signed) { s.at = start.Add(-29 * time.Second) }},
		"29 s ahead":              {change: func(s *signed) { s.at = start.Add(29 * time.Second) }},
		"31 s behind":             {change: func(s *signed) { s.at = start.Add(-31 * time.Second) }, wantCode: "ClockSkew"},
		"an hour ahead":           {change: func(s *signed) { s.at = start.Add(time.Hour) }, wantCode: "ClockSkew"},
		"for another pod":         {change: func(s *signed) { s.pod = "other" }, wantCode: "Unauthorized"},
		"by a key we do not know": {change: func(s *signed) { s.key = stranger }, wantCode: "UnknownKey"},
		"another method":          {send: func(_ http.Header, s *signed) { s.method = "DELETE" }, wantCode: "Unauthorized"},
		"another path":            {send: func(_ http.Header, s *signed) { s.target = "/v1/executions/b/1?wait=1s" }, wantCode: "Unauthorized"},
		"another query":           {send: func(_ http.Header, s *signed) { s.target = "/v1/executions/a/1?wait=2s" }, wantCode: "Unauthorized"},
		"another body":            {send: func(_ http.Header, s *signed) { s.body = []byte("[]") }, wantCode: "Unauthorized"},
		"another time":            {send: func(h http.Header, _ *signed) { h.Set(HeaderTime, "1") }, wantCode: "Unauthorized"},
		"time no number":          {send: func(h http.Header, _ *signed) { h.Set(HeaderTime, "now") }, wantCode: "Unauthorized"},
		"another nonce":           {send: func(h http.Header, _ *signed) { h.Set(HeaderNonce, fmt.Sprintf("%032x", 2)) }, wantCode: "Unauthorized"},
		"no signature":            {send: func(h http.Header, _ *signed) { h.Del(HeaderSignature) }, wantCode: "Unauthorized"},
		"signature not base64":    {send: func(h http.Header, _ *signed) { h.Set(HeaderSignature, "%") }, wantCode: "Unauthorized"},
		"a nonce in capitals":     {change: func(s *signed) { s.nonce = fmt.Sprintf("%032X", 0xabc) }, wantCode: "Unauthorized"},
		"a short nonce":           {change: func(s *signed) { s.nonce = "ab" }, wantCode: "Unauthorized"},
		"our key id, another key": {send: func(h http.Header, s *signed) {
			s.key = stranger
			h.Set(HeaderSignature, s.header().Get(HeaderSignature))
		}, wantCode: "Unauthorized"},
		"a known id without a key": {send: func(h http.Header, _ *signed) { h.Set(HeaderKeyID, "") }, wantCode: "Unauthorized"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			verifier := NewVerifier(Keys{KeyID(key.Public().(ed25519.PublicKey)): key.Public().(ed25519.PublicKey)}, "pod",
				(&clock{start}).now)
			request := good
			if c.change != nil {
				c.change(&request)
			}
			header := request.header()
			if c.send != nil {
				c.send(header, &request)
			}
			err := verifier.Verify(request.method, request.target, header, request.body)
			var refusal *Error
			code := ""
			if errors.As(err, &refusal) {
				code = refusal.Code
			}
			if code != c.wantCode {
				t.Errorf("got %v, want code %q", err, c.wantCode)
			}
		})
	}
}

func TestVerifyRefusesAReplay(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	public := key.Public().(ed25519.PublicKey)
	c := &clock{time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	verifier := NewVerifier(Keys{KeyID(public): public}, "pod", c.now)
	s := signed{"GET", "/v1/stats", "pod", fmt.Sprintf("%032x", 7), nil, c.at.Add(Window), key}
	if err := verifier.Verify(s.method, s.target, s.header(), nil); err != nil {
		t.Fatal(err)
	}
	// The request is dated as far ahead as allowed: it stays in the window
	// for twice its width, and must be refused to the last moment of it.
	for range 61 {
		var refusal *Error
		if err := verifier.Verify(s.method, s.target, s.header(), nil); !errors.As(err, &refusal) || (refusal.Code != "Replay" && refusal.Code != "ClockSkew") {
			t.Fatalf("at %v: %v", c.at, err)
		}
		c.at = c.at.Add(time.Second)
	}
	fresh := s
	fresh.at = c.at
	if err := verifier.Verify(fresh.method, fresh.target, fresh.header(), nil); err == nil {
		t.Fatal("a nonce was accepted again 61 s after the first time")
	}
	c.at = c.at.Add(10 * time.Minute)
	fresh.at = c.at
	if err := verifier.Verify(fresh.method, fresh.target, fresh.header(), nil); err != nil {
		t.Fatalf("long after: %v", err)
	}
}

func TestNonceWindowIsBounded(t *testing.T) {
	w := newNonceWindow()
	now := time.Unix(1000, 0)
	key := func(i int) (k [16]byte) { k[0], k[1], k[2] = byte(i), byte(i>>8), byte(i>>16); return k }
	for i := range maxNonces {
		if !w.add(key(i), now) {
			t.Fatalf("refused at %d", i)
		}
	}
	if w.add(key(maxNonces), now) {
		t.Fatal("no bound")
	}
	now = now.Add(5 * Window)
	if !w.add(key(maxNonces), now) {
		t.Fatal("still full after the window")
	}
}

func TestParseKeys(t *testing.T) {
	public, _, _ := ed25519.GenerateKey(nil)
	old, _, _ := ed25519.GenerateKey(nil)
	entry := func(p ed25519.PublicKey) string { return KeyID(p) + ":" + base64.StdEncoding.EncodeToString(p) }
	keys, err := ParseKeys(entry(public) + "," + entry(old))
	if err != nil || len(keys) != 2 {
		t.Errorf("%v, %v", keys, err)
	}
	for name, text := range map[string]string{
		"empty": "", "no colon": "abc", "short": KeyID(public) + ":AAAA", "not base64": "a:%",
		"another's id": KeyID(old) + ":" + base64.StdEncoding.EncodeToString(public),
	} {
		if keys, err := ParseKeys(text); err == nil {
			t.Errorf("%s: accepted as %v", name, keys)
		}
	}
}
