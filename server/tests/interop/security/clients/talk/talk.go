// Package talk is what the Go clients of the matrix share; ../talk.py says what they are given and what they tell.
package talk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const pause = 200 * time.Millisecond

// Spec is the place and what to do there.
type Spec struct {
	Bootstrap, CA, Certificate, Key, User, Password, Topic, Group, Do string

	TokenURL string `json:"token_url"`
	Records  int
	Seconds  int
	Patience int
}

// Producer sends a number and waits until it is there.
type Producer interface {
	Send(ctx context.Context, number int) error
	Close() error
}

// Consumer is a member of the group.
type Consumer interface {
	Poll(ctx context.Context) ([]int, error)
	Commit(ctx context.Context, offset int) error
	Committed(ctx context.Context) (int64, error)
}

// Library is a client library.
type Library struct {
	Producer func(ctx context.Context) (Producer, error)
	Consumer func(ctx context.Context) (Consumer, error)
	// Code gives Kafka's number of an error and its name, or 0.
	Code func(error) (int, string)
}

// Read gives the arguments of this process.
func Read() *Spec {
	spec := &Spec{}
	if err := json.Unmarshal([]byte(os.Args[1]), spec); err != nil {
		panic(err)
	}
	return spec
}

// Token asks the issuer for one.
func (s *Spec) Token() (string, error) {
	answer, err := http.Get(s.TokenURL)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	told := struct {
		Token string `json:"access_token"`
	}{}
	err = json.NewDecoder(answer.Body).Decode(&told)
	return told.Token, err
}

// TLS trusts the authority, and shows the certificate if there is one.
func (s *Spec) TLS() *tls.Config {
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		panic(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	config.RootCAs.AppendCertsFromPEM(pem)
	if s.Certificate != "" {
		own, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
		if err != nil {
			panic(err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config
}

func say(what map[string]any) {
	text, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

// Main does what the arguments say.
func Main(s *Spec, library Library) {
	if s.Do == "produce" || s.Do == "talk" {
		attempt(s, library, "produce", s.produce)
	}
	if s.Do == "consume" || s.Do == "talk" {
		attempt(s, library, "consume", s.consume)
	}
	if s.Do == "hold" {
		attempt(s, library, "hold", s.hold)
	}
}

func attempt(s *Spec, library Library, act string, run func(context.Context, Library) (map[string]any, error)) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.Patience+s.Seconds)*time.Second)
	defer cancel()
	told, err := run(ctx, library)
	if err == nil {
		told["did"] = act
		say(told)
		return
	}
	told = map[string]any{"refused": act, "code": nil, "text": err.Error(), "seconds": math.Round(time.Since(began).Seconds()*100) / 100}
	code, name := library.Code(err)
	if code > 0 {
		told["code"] = code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		name = "nothing"
	}
	told["name"] = name
	say(told)
	os.Exit(0)
}

func (s *Spec) produce(ctx context.Context, library Library) (map[string]any, error) {
	producer, err := library.Producer(ctx)
	if err != nil {
		return nil, err
	}
	for number := 0; number < s.Records; number++ {
		if err := producer.Send(ctx, number); err != nil {
			return nil, err
		}
	}
	return map[string]any{"count": s.Records}, producer.Close()
}

func (s *Spec) consume(ctx context.Context, library Library) (map[string]any, error) {
	consumer, err := library.Consumer(ctx)
	if err != nil {
		return nil, err
	}
	found := []int{}
	for len(found) < s.Records {
		more, err := consumer.Poll(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	for at, number := range found {
		if at != number {
			return nil, fmt.Errorf("order: %v", found)
		}
	}
	if err := consumer.Commit(ctx, len(found)); err != nil {
		return nil, err
	}
	committed, err := consumer.Committed(ctx)
	return map[string]any{"count": len(found), "committed": committed}, err
}

func (s *Spec) hold(ctx context.Context, library Library) (map[string]any, error) {
	end := time.Now().Add(time.Duration(s.Seconds) * time.Second)
	var sent atomic.Int64
	written := make(chan error, 1)
	go func() {
		producer, err := library.Producer(ctx)
		for err == nil && time.Now().Before(end) {
			if err = producer.Send(ctx, int(sent.Load())); err == nil {
				sent.Add(1)
				time.Sleep(pause)
			}
		}
		written <- err
	}()
	consumer, err := library.Consumer(ctx)
	if err != nil {
		return nil, err
	}
	found, done := map[int]bool{}, false
	for !done || int64(len(found)) < sent.Load() {
		select {
		case err := <-written:
			if err != nil {
				return nil, err
			}
			done = true
		default:
		}
		poll, cancel := context.WithTimeout(ctx, pause)
		more, err := consumer.Poll(poll)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d of %d records came: %w", len(found), sent.Load(), ctx.Err())
		}
		for _, number := range more {
			found[number] = true
		}
	}
	return map[string]any{"count": sent.Load()}, nil
}
