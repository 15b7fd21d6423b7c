// franz-go as ../talk wants it.
package main

import (
	"context"
	"errors"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	talk "strandline/interop/secured"
)

var spec = talk.Read()

func main() {
	talk.Main(spec, talk.Library{
		Producer: func(context.Context) (talk.Producer, error) {
			client, err := client()
			return producer{client}, err
		},
		Consumer: func(context.Context) (talk.Consumer, error) {
			client, err := client(kgo.ConsumerGroup(spec.Group), kgo.ConsumeTopics(spec.Topic), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			return consumer{client}, err
		},
		Code: code,
	})
}

func code(err error) (int, string) {
	var known *kerr.Error
	if errors.As(err, &known) {
		return int(known.Code), known.Message
	}
	return 0, "error"
}

func client(options ...kgo.Opt) (*kgo.Client, error) {
	options = append(options, kgo.SeedBrokers(spec.Bootstrap), kgo.DialTLSConfig(spec.TLS()),
		// It tries again for as long as it is let; why it is not let in it says there.
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)))
	if spec.User != "" {
		options = append(options, kgo.SASL(scram.Auth{User: spec.User, Pass: spec.Password}.AsSha512Mechanism()))
	}
	if spec.TokenURL != "" {
		options = append(options, kgo.SASL(oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := spec.Token()
			return oauth.Auth{Token: token}, err
		})))
	}
	return kgo.NewClient(options...)
}

type producer struct{ client *kgo.Client }

func (p producer) Send(ctx context.Context, number int) error {
	return p.client.ProduceSync(ctx, &kgo.Record{Topic: spec.Topic, Value: []byte(strconv.Itoa(number))}).FirstErr()
}

func (p producer) Close() error {
	p.client.Close()
	return nil
}

type consumer struct{ client *kgo.Client }

func (c consumer) Poll(ctx context.Context) ([]int, error) {
	fetches := c.client.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		return nil, err
	}
	found := []int{}
	for _, record := range fetches.Records() {
		number, err := strconv.Atoi(string(record.Value))
		if err != nil {
			return nil, err
		}
		found = append(found, number)
	}
	return found, nil
}

func (c consumer) Commit(ctx context.Context, _ int) error {
	return c.client.CommitUncommittedOffsets(ctx)
}

func (c consumer) Committed(ctx context.Context) (int64, error) {
	offsets, err := kadm.NewClient(c.client).FetchOffsets(ctx, spec.Group)
	found, _ := offsets.Lookup(spec.Topic, 0)
	return found.At, err
}
