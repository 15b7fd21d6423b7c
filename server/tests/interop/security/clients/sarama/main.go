// sarama as ../talk wants it. Its SCRAM is another module's, as its documentation has it.
package main

import (
	"context"
	"crypto/sha512"
	"errors"
	"strconv"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
	talk "strandline/interop/secured"
)

var spec = talk.Read()

func main() {
	talk.Main(spec, talk.Library{Producer: newProducer, Consumer: newConsumer, Code: code})
}

func code(err error) (int, string) {
	var known sarama.KError
	if errors.As(err, &known) && known > 0 {
		return int(known), "KError"
	}
	return 0, "error"
}

type conversation struct{ *scram.ClientConversation }

func (c *conversation) Begin(user, password, authorization string) error {
	client, err := scram.HashGeneratorFcn(sha512.New).NewClient(user, password, authorization)
	if err == nil {
		c.ClientConversation = client.NewConversation()
	}
	return err
}

type tokens struct{}

func (tokens) Token() (*sarama.AccessToken, error) {
	token, err := spec.Token()
	return &sarama.AccessToken{Token: token}, err
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Net.TLS.Enable, config.Net.TLS.Config = true, spec.TLS()
	config.Producer.Return.Successes = true
	config.Consumer.Return.Errors = true
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Metadata.AllowAutoTopicCreation = false
	if spec.User != "" {
		config.Net.SASL.Enable, config.Net.SASL.Mechanism = true, sarama.SASLTypeSCRAMSHA512
		config.Net.SASL.User, config.Net.SASL.Password = spec.User, spec.Password
		config.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &conversation{} }
	}
	if spec.TokenURL != "" {
		config.Net.SASL.Enable, config.Net.SASL.Mechanism = true, sarama.SASLTypeOAuth
		config.Net.SASL.TokenProvider = tokens{}
	}
	return config
}

type producer struct{ sarama.SyncProducer }

func newProducer(context.Context) (talk.Producer, error) {
	sync, err := sarama.NewSyncProducer([]string{spec.Bootstrap}, config())
	return producer{sync}, err
}

func (p producer) Send(_ context.Context, number int) error {
	_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: spec.Topic, Value: sarama.StringEncoder(strconv.Itoa(number))})
	return err
}

// consumer's numbers come from the group's own goroutines.
type consumer struct {
	numbers chan int
	failed  chan error
	session chan sarama.ConsumerGroupSession
	current sarama.ConsumerGroupSession
}

func newConsumer(ctx context.Context) (talk.Consumer, error) {
	group, err := sarama.NewConsumerGroup([]string{spec.Bootstrap}, spec.Group, config())
	if err != nil {
		return nil, err
	}
	c := &consumer{numbers: make(chan int), failed: make(chan error, 100), session: make(chan sarama.ConsumerGroupSession, 100)}
	go func() {
		for err := range group.Errors() {
			// Who is cut when what it has proven is over connects again; what was refused has Kafka's number.
			if code, _ := code(err); code > 0 {
				c.failed <- err
			}
		}
	}()
	go func() {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{spec.Topic}, c); err != nil {
				c.failed <- err
				return
			}
		}
	}()
	return c, nil
}

func (c *consumer) Setup(session sarama.ConsumerGroupSession) error {
	c.session <- session
	return nil
}

func (c *consumer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *consumer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		number, err := strconv.Atoi(string(message.Value))
		if err != nil {
			return err
		}
		select {
		case c.numbers <- number:
		case <-session.Context().Done():
			return nil
		}
	}
	return nil
}

func (c *consumer) Poll(ctx context.Context) ([]int, error) {
	select {
	case number := <-c.numbers:
		return []int{number}, nil
	case err := <-c.failed:
		return nil, err
	case c.current = <-c.session:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *consumer) Commit(_ context.Context, offset int) error {
	c.current.MarkOffset(spec.Topic, 0, int64(offset), "")
	c.current.Commit()
	return nil
}

func (c *consumer) Committed(context.Context) (int64, error) {
	admin, err := sarama.NewClusterAdmin([]string{spec.Bootstrap}, config())
	if err != nil {
		return 0, err
	}
	offsets, err := admin.ListConsumerGroupOffsets(spec.Group, map[string][]int32{spec.Topic: {0}})
	if err != nil {
		return 0, err
	}
	return offsets.GetBlock(spec.Topic, 0).Offset, nil
}
