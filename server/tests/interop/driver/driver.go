// Package driver is what the Go clients share: driven.py's commands in, replies and events out.
package driver

import (
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"
)

// Args is one command; a field that a command does not have is zero.
type Args struct {
	Do, Topic, Group, Producer, Consumer, How string

	Topics      []string
	Pattern     string
	Partitions  int32
	Partition   int32
	Replication int16
	Configs     map[string]string
	At          At
	Offset      int64
	Metadata    string
	Offsets     map[int32]int64
	Records     []Record

	Acks            string
	Codec           string
	Idempotent      *bool
	RequestBytesMax int `json:"request_bytes_max"`

	Transactional string
	TimeoutMs     int64 `json:"timeout_ms"`
	Source        string
	Step          string

	Reset       string
	Protocol    string
	Commit      string
	Instance    string
	Cooperative bool
	SessionMs   int64  `json:"session_ms"`
	FetchWaitMs int64  `json:"fetch_wait_ms"`
	ResetNone   bool   `json:"reset_none"`
	Isolation   string `json:"isolation"`

	// Of set-group.
	Name  string
	Value string
}

// At is a place in a partition: a word (earliest, latest, max), else a time in milliseconds, else an offset.
type At struct {
	Word   string
	Time   *int64
	Offset int64
}

func (a *At) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &a.Offset) == nil || json.Unmarshal(text, &a.Word) == nil {
		return nil
	}
	return json.Unmarshal(text, &struct{ Time **int64 }{&a.Time})
}

// Record is a record to send, or one that came. A nil key or value is null.
type Record struct {
	Topic     string   `json:"topic"`
	Partition *int32   `json:"partition"`
	Offset    int64    `json:"offset"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []Header `json:"headers"`
	Timestamp *int64   `json:"timestamp"`
	Delivery  int      `json:"delivery,omitempty"`
}

type Header struct {
	Name  string
	Value []byte
}

func (h Header) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.Name, h.Value}) }

func (h *Header) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[2]any{&h.Name, &h.Value})
}

// Answer is what became of one record that was sent.
type Answer struct {
	Offset *int64 `json:"offset"`
	Error  *int   `json:"error"`
	Calls  int    `json:"calls"`
}

// TopicPartition is written as a pair.
type TopicPartition struct {
	Topic     string
	Partition int32
}

func (p TopicPartition) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{p.Topic, p.Partition})
}

// Member of a group, as describe-group tells it.
type Member struct {
	ID         string           `json:"id"`
	Client     string           `json:"client"`
	Host       string           `json:"host"`
	Partitions []TopicPartition `json:"partitions"`
}

// Cannot is why the client has no call for what it was asked.
type Cannot string

func (c Cannot) Error() string { return string(c) }

var out sync.Mutex

func say(what any) {
	text, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	out.Lock()
	defer out.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

// Tell reports an event of a consumer.
func Tell(event, consumer, name string, what any) {
	say(map[string]any{"event": event, "consumer": consumer, name: what})
}

// Trouble reports an error of a consumer.
func Trouble(consumer string, code int, err error) {
	say(map[string]any{"event": "error", "consumer": consumer, "error": code, "text": err.Error()})
}

// Partitions of a map from topics, as events name them.
func Partitions(topics map[string][]int32) []TopicPartition {
	all := []TopicPartition{}
	for topic, partitions := range topics {
		for _, partition := range partitions {
			all = append(all, TopicPartition{topic, partition})
		}
	}
	return all
}

// Millis is a time of a record.
func Millis(at time.Time) *int64 {
	millis := at.UnixMilli()
	return &millis
}

// Serve does what comes until the input ends; code gives Kafka's number of an error, or 0.
func Serve(name string, lacks map[string]string, run func(*Args) (any, error), code func(error) int, has ...string) {
	say(map[string]any{"ready": name, "lacks": lacks, "has": append([]string{}, has...)})
	input := json.NewDecoder(os.Stdin)
	for {
		var args Args
		if input.Decode(&args) != nil {
			return
		}
		result, err := run(&args)
		var cannot Cannot
		switch {
		case errors.As(err, &cannot):
			say(map[string]any{"cannot": cannot})
		case err != nil:
			say(map[string]any{"error": code(err), "text": err.Error()})
		default:
			say(map[string]any{"ok": result})
		}
	}
}
