// franz-go as a driver for driven.py, which says what is read and written.
package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"strandline/interop/driver"
)

const patience = 20 * time.Second

var (
	bootstrap = os.Args[1]
	admin     *kadm.Client
	producers = map[string]*producer{}
	consumers = map[string]*consumer{}
)

func main() {
	admin = kadm.NewClient(client())
	driver.Serve("franz-go", map[string]string{
		"change-topic":             "not written for franz-go",
		"recreated-topic":          "a franz-go producer keeps its topic's id, and its records are refused by a topic made anew (100)",
		"static-consumer-protocol": "a static member that starts again does not have its partition at once, with Apache Kafka neither",
	}, run, code, "consumer-protocol", "share-groups")
}

func client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap))...)
	if err != nil {
		panic(err)
	}
	return client
}

func code(err error) int {
	var known *kerr.Error
	if errors.As(err, &known) {
		return int(known.Code)
	}
	return 0
}

func run(a *driver.Args) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch a.Do {
	case "topics":
		topics, err := admin.ListTopics(ctx)
		return topics.Names(), err
	case "describe-topic":
		return describeTopic(ctx, a.Topic)
	case "create-topic":
		configs := map[string]*string{}
		for name, value := range a.Configs {
			configs[name] = &value
		}
		_, err := admin.CreateTopic(ctx, a.Partitions, a.Replication, configs, a.Topic)
		return nil, err
	case "delete-topic":
		_, err := admin.DeleteTopic(ctx, a.Topic)
		return nil, err
	case "cluster":
		return cluster(ctx)
	case "configs":
		configs, err := admin.DescribeTopicConfigs(ctx, a.Topic)
		if err != nil {
			return nil, err
		}
		found := map[string]any{}
		for _, config := range configs[0].Configs {
			found[config.Key] = []any{config.Value, config.Source != kmsg.ConfigSourceDynamicTopicConfig}
		}
		return found, configs[0].Err
	case "offset":
		return offset(ctx, a)
	case "groups":
		groups, err := admin.ListGroups(ctx)
		found := map[string]any{}
		for name, group := range groups {
			found[name] = map[string]any{"state": group.State, "type": group.ProtocolType}
		}
		return found, err
	case "describe-group":
		return describeGroup(ctx, a.Group)
	case "delete-group":
		_, err := admin.DeleteGroup(ctx, a.Group)
		return nil, err
	case "group-offsets":
		offsets, err := admin.FetchOffsets(ctx, a.Group)
		found := map[int32]int64{}
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Topic == a.Topic {
				found[o.Partition] = o.At
			}
		})
		return found, err
	case "alter-group-offsets":
		var offsets kadm.Offsets
		for partition, offset := range a.Offsets {
			offsets.AddOffset(a.Topic, partition, offset, -1)
		}
		return nil, admin.CommitAllOffsets(ctx, a.Group, offsets)
	case "delete-group-offset":
		deleted, err := admin.DeleteOffsets(ctx, a.Group, kadm.TopicsSet{a.Topic: {a.Partition: {}}})
		if err == nil {
			err = deleted.Error()
		}
		return nil, err
	case "producer":
		producer, err := newProducer(ctx, a)
		producers[a.Producer] = producer
		return nil, err
	case "send":
		return send(ctx, producers[a.Producer].client, a)
	case "transaction":
		return nil, producers[a.Producer].transaction(ctx, a)
	case "close-producer":
		// Close alone drops what is buffered; this is how its documentation wants it.
		err := producers[a.Producer].client.Flush(ctx)
		producers[a.Producer].client.Close()
		return nil, err
	case "assign", "join":
		consumers[a.Consumer] = consume(a)
		return nil, nil
	case "share":
		consumers[a.Consumer] = share(a)
		return nil, nil
	case "set-group":
		return nil, setGroup(ctx, a)
	}
	return consumers[a.Consumer].run(ctx, a)
}

// kadm knows no settings of groups.
func setGroup(ctx context.Context, a *driver.Args) error {
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Op, config.Value = a.Name, kmsg.IncrementalAlterConfigOpSet, &a.Value
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, a.Group
	resource.Configs = append(resource.Configs, config)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	connection := client()
	defer connection.Close()
	answer, err := request.RequestWith(ctx, connection)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(answer.Resources[0].ErrorCode)
}

func describeTopic(ctx context.Context, topic string) (any, error) {
	metadata, err := admin.Metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := metadata.Topics[topic].Err; err != nil {
		return nil, err
	}
	found := []any{}
	for _, partition := range metadata.Topics[topic].Partitions.Sorted() {
		found = append(found, map[string]any{"leader": address(metadata, partition.Leader), "replicas": len(partition.Replicas), "isr": len(partition.ISR)})
	}
	return found, nil
}

func hostPort(broker kadm.BrokerDetail) string {
	return net.JoinHostPort(broker.Host, strconv.Itoa(int(broker.Port)))
}

func address(metadata kadm.Metadata, id int32) string {
	for _, broker := range metadata.Brokers {
		if broker.NodeID == id {
			return hostPort(broker)
		}
	}
	return "unknown"
}

func cluster(ctx context.Context) (any, error) {
	metadata, err := admin.BrokerMetadata(ctx)
	nodes := []string{}
	for _, broker := range metadata.Brokers {
		nodes = append(nodes, hostPort(broker))
	}
	return map[string]any{"id": metadata.Cluster, "controller": address(metadata, metadata.Controller), "nodes": nodes}, err
}

func offset(ctx context.Context, a *driver.Args) (any, error) {
	var listed kadm.ListedOffsets
	var err error
	switch {
	case a.At.Time != nil:
		listed, err = admin.ListOffsetsAfterMilli(ctx, *a.At.Time, a.Topic)
	case a.At.Word == "earliest":
		listed, err = admin.ListStartOffsets(ctx, a.Topic)
	case a.At.Word == "latest":
		listed, err = admin.ListEndOffsets(ctx, a.Topic)
	default:
		listed, err = admin.ListMaxTimestampOffsets(ctx, a.Topic)
	}
	if err != nil {
		return nil, err
	}
	found, _ := listed.Lookup(a.Topic, a.Partition)
	if found.Err != nil {
		return nil, found.Err
	}
	if found.Timestamp < 0 {
		// With no record at or after a time it gives the end.
		return []any{found.Offset, nil}, nil
	}
	return []any{found.Offset, found.Timestamp}, nil
}

func describeGroup(ctx context.Context, group string) (any, error) {
	groups, err := admin.DescribeGroups(ctx, group)
	if err != nil {
		return nil, err
	}
	found := groups[group]
	members := []driver.Member{}
	for _, member := range found.Members {
		told := driver.Member{ID: member.MemberID, Client: member.ClientID, Host: member.ClientHost, Partitions: []driver.TopicPartition{}}
		if assigned, ok := member.Assigned.AsConsumer(); ok {
			for _, topic := range assigned.Topics {
				told.Partitions = append(told.Partitions, driver.Partitions(map[string][]int32{topic.Topic: topic.Partitions})...)
			}
		}
		members = append(members, told)
	}
	return map[string]any{"state": found.State, "protocol": found.Protocol, "members": members}, found.Err
}

// Producing.

// partitioner takes the partition that a record names, and the client's own choice when it names none.
type partitioner struct{ kgo.TopicPartitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return partitioner{kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}

func (p partitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.TopicPartitioner.RequiresConsistency(r)
}

func (p partitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

// producer has a session when it moves records: then it consumes as well, and its transactions take what it has read.
type producer struct {
	client  *kgo.Client
	session *kgo.GroupTransactSession
}

func newProducer(ctx context.Context, a *driver.Args) (*producer, error) {
	options := producing(a)
	if a.Source != "" {
		options = append(options, kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(a.Group), kgo.ConsumeTopics(a.Source),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		session, err := kgo.NewGroupTransactSession(options...)
		if err != nil {
			return nil, err
		}
		return &producer{session.Client(), session}, nil
	}
	p := &producer{client: client(options...)}
	if a.Transactional == "" {
		return p, nil
	}
	// It would ask for its id with the first record.
	_, _, err := p.client.ProducerID(ctx)
	return p, err
}

func (p *producer) transaction(ctx context.Context, a *driver.Args) error {
	switch a.Step {
	case "begin":
		return p.client.BeginTransaction()
	case "offsets":
		return p.readTo(ctx, a)
	}
	end := kgo.TransactionEndTry(a.Step == "commit")
	if p.session != nil {
		committed, err := p.session.End(ctx, end)
		if err == nil && committed != bool(end) {
			err = errors.New("the session has aborted what it was to commit")
		}
		return err
	}
	// Every record was sent and answered before.
	return p.client.EndTransaction(ctx, end)
}

// readTo reads up to the offsets, which the session commits when it ends; aborted, it reads them again.
func (p *producer) readTo(ctx context.Context, a *driver.Args) error {
	for partition, offset := range a.Offsets {
		for read := p.read(a.Topic, partition); read < offset; read = p.read(a.Topic, partition) {
			if err := p.session.PollRecords(ctx, int(offset-read)).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *producer) read(topic string, partition int32) int64 {
	if uncommitted, ok := p.client.UncommittedOffsets()[topic][partition]; ok {
		return uncommitted.Offset
	}
	return p.client.CommittedOffsets()[topic][partition].Offset
}

func producing(a *driver.Args) []kgo.Opt {
	options := []kgo.Opt{kgo.RecordPartitioner(partitioner{}), kgo.AllowAutoTopicCreation()}
	switch a.Acks {
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()))
	case "all":
		options = append(options, kgo.RequiredAcks(kgo.AllISRAcks()))
	}
	if a.Codec != "" {
		options = append(options, kgo.ProducerBatchCompression(map[string]kgo.CompressionCodec{"none": kgo.NoCompression(),
			"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}[a.Codec]))
	}
	if a.Idempotent != nil && !*a.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if a.RequestBytesMax > 0 {
		options = append(options, kgo.ProducerBatchMaxBytes(int32(a.RequestBytesMax)))
	}
	if a.Transactional != "" {
		options = append(options, kgo.TransactionalID(a.Transactional), kgo.TransactionTimeout(time.Duration(a.TimeoutMs)*time.Millisecond))
	}
	return options
}

func send(ctx context.Context, producer *kgo.Client, a *driver.Args) (any, error) {
	answers := make([]driver.Answer, len(a.Records))
	calls := make([]atomic.Int32, len(a.Records))
	var sent sync.WaitGroup
	for i, r := range a.Records {
		record := &kgo.Record{Topic: a.Records[i].Topic, Partition: -1, Key: r.Key, Value: r.Value}
		if r.Partition != nil {
			record.Partition = *r.Partition
		}
		if r.Timestamp != nil {
			record.Timestamp = time.UnixMilli(*r.Timestamp)
		}
		for _, header := range r.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
		}
		if a.How == "forget" {
			producer.Produce(context.Background(), record, nil)
			continue
		}
		sent.Add(1)
		producer.Produce(ctx, record, func(r *kgo.Record, err error) {
			if calls[i].Add(1) > 1 {
				return
			}
			if err != nil {
				code := code(err)
				answers[i].Error = &code
			} else {
				answers[i].Offset = &r.Offset
			}
			sent.Done()
		})
		if a.How == "each" {
			sent.Wait()
		}
	}
	sent.Wait()
	for i := range answers {
		answers[i].Calls = int(calls[i].Load())
	}
	return answers, nil
}

// Consuming.

type consumer struct {
	name, group, commit string
	client              *kgo.Client
	stop                context.CancelFunc
	stopped             chan struct{}
}

func place(at driver.At) kgo.Offset {
	switch {
	case at.Time != nil:
		return kgo.NewOffset().AfterMilli(*at.Time)
	case at.Word == "earliest":
		return kgo.NewOffset().AtStart()
	case at.Word == "latest":
		return kgo.NewOffset().AtEnd()
	}
	return kgo.NewOffset().At(at.Offset)
}

func consume(a *driver.Args) *consumer {
	ctx, stop := context.WithCancel(context.Background())
	c := &consumer{name: a.Consumer, group: a.Group, commit: a.Commit, stop: stop, stopped: make(chan struct{})}
	options := []kgo.Opt{kgo.MetadataMaxAge(2 * time.Second), kgo.MetadataMinAge(time.Second)}
	if a.FetchWaitMs > 0 {
		options = append(options, kgo.FetchMaxWait(time.Duration(a.FetchWaitMs)*time.Millisecond))
	}
	if a.Isolation == "read_committed" {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if a.ResetNone {
		options = append(options, kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	}
	if a.Do == "assign" {
		places := map[int32]kgo.Offset{}
		for partition := range a.Partitions {
			places[partition] = place(a.At)
		}
		options = append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{a.Topic: places}))
	} else {
		options = append(options, c.membership(a)...)
	}
	c.client = client(options...)
	go c.loop(ctx)
	return c
}

func (c *consumer) membership(a *driver.Args) []kgo.Opt {
	tell := func(event string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			driver.Tell(event, c.name, "partitions", driver.Partitions(topics))
		}
	}
	options := []kgo.Opt{kgo.ConsumerGroup(a.Group), kgo.OnPartitionsAssigned(tell("assigned")), kgo.OnPartitionsLost(tell("revoked"))}
	if a.Pattern != "" {
		options = append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics(a.Pattern))
	} else {
		options = append(options, kgo.ConsumeTopics(a.Topics...))
	}
	options = append(options, kgo.ConsumeResetOffset(place(driver.At{Word: a.Reset})))
	if a.Commit != "auto" {
		// Partitions are given up between polls only, when everything is committed. With auto-commit the client's own
		// callback commits, and must not be replaced.
		options = append(options, kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsRevoked(tell("revoked")))
	}
	if a.Instance != "" {
		options = append(options, kgo.InstanceID(a.Instance))
	}
	if a.Protocol == "consumer" {
		// The library has it behind this alone, whose key is a string.
		options = append(options, kgo.WithContext(context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true)))
	}
	if a.SessionMs > 0 {
		options = append(options, kgo.SessionTimeout(time.Duration(a.SessionMs)*time.Millisecond), kgo.HeartbeatInterval(2*time.Second))
	}
	return options
}

func (c *consumer) loop(ctx context.Context) {
	defer close(c.stopped)
	for ctx.Err() == nil {
		fetches := c.client.PollFetches(ctx)
		fetches.EachError(func(_ string, _ int32, err error) {
			if ctx.Err() == nil {
				driver.Trouble(c.name, code(err), err)
			}
		})
		if records := fetches.Records(); len(records) > 0 {
			c.handle(records)
		}
		c.client.AllowRebalance()
	}
}

func (c *consumer) handle(records []*kgo.Record) {
	driver.Tell("records", c.name, "records", tellable(records))
	if c.commit == "each" {
		if err := c.client.CommitRecords(context.Background(), records...); err != nil {
			driver.Trouble(c.name, code(err), err)
		}
	}
}

func tellable(records []*kgo.Record) []driver.Record {
	told := []driver.Record{}
	for _, r := range records {
		headers := []driver.Header{}
		for _, header := range r.Headers {
			headers = append(headers, driver.Header{Name: header.Key, Value: header.Value})
		}
		told = append(told, driver.Record{Topic: r.Topic, Partition: &r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value,
			Headers: headers, Timestamp: driver.Millis(r.Timestamp), Delivery: int(r.DeliveryCount())})
	}
	return told
}

// share is a member of a share group (KIP-932).
func share(a *driver.Args) *consumer {
	ctx, stop := context.WithCancel(context.Background())
	c := &consumer{name: a.Consumer, group: a.Group, stop: stop, stopped: make(chan struct{})}
	type at struct {
		partition int32
		offset    int64
	}
	var known sync.Mutex
	done := map[at]bool{}
	c.client = client(kgo.ShareGroup(a.Group), kgo.ConsumeTopics(a.Topics...), kgo.MetadataMaxAge(2*time.Second), kgo.MetadataMinAge(time.Second),
		kgo.ShareMaxRecords(20), kgo.ShareAckCallback(func(_ *kgo.Client, results kgo.ShareAckResults) {
			known.Lock()
			defer known.Unlock()
			failed := map[int32]bool{}
			for _, result := range results {
				if result.Err != nil {
					failed[result.Partition] = true
					driver.Trouble(a.Consumer, code(result.Err), result.Err)
				}
			}
			confirmed := [][]int64{}
			for place := range done {
				if !failed[place.partition] {
					confirmed = append(confirmed, []int64{int64(place.partition), place.offset})
				}
				delete(done, place)
			}
			driver.Tell("confirmed", a.Consumer, "records", confirmed)
		}))
	go func() {
		defer close(c.stopped)
		for ctx.Err() == nil {
			fetches := c.client.PollFetches(ctx)
			fetches.EachError(func(_ string, _ int32, err error) {
				if ctx.Err() == nil {
					driver.Trouble(c.name, code(err), err)
				}
			})
			records := fetches.Records()
			if len(records) == 0 {
				continue
			}
			driver.Tell("records", c.name, "records", tellable(records))
			known.Lock()
			for _, r := range records {
				status := kgo.AckAccept
				switch {
				case a.How == "mixed" && r.Offset%3 == 1 && r.DeliveryCount() == 1:
					status = kgo.AckRelease
				case a.How == "mixed" && r.Offset%3 == 2:
					status = kgo.AckReject
				}
				r.Ack(status)
				if status != kgo.AckRelease {
					done[at{r.Partition, r.Offset}] = true
				}
			}
			known.Unlock()
			if err := c.client.FlushAcks(ctx); err != nil && ctx.Err() == nil {
				driver.Trouble(c.name, code(err), err)
			}
		}
	}()
	return c
}

func (c *consumer) run(ctx context.Context, a *driver.Args) (any, error) {
	this := map[string][]int32{a.Topic: {a.Partition}}
	switch a.Do {
	case "seek":
		c.client.RemoveConsumePartitions(this)
		c.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{a.Topic: {a.Partition: place(a.At)}})
	case "pause":
		c.client.PauseFetchPartitions(this)
	case "resume":
		c.client.ResumeFetchPartitions(this)
	case "commit":
		withMetadata := kgo.PreCommitFnContext(ctx, func(request *kmsg.OffsetCommitRequest) error {
			request.Topics[0].Partitions[0].Metadata = &a.Metadata
			return nil
		})
		var failed error
		c.client.CommitOffsetsSync(withMetadata, map[string]map[int32]kgo.EpochOffset{a.Topic: {a.Partition: {Epoch: -1, Offset: a.Offset}}},
			func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
				if failed = err; err == nil {
					failed = kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
				}
			})
		return nil, failed
	case "committed":
		offsets, err := admin.FetchOffsets(ctx, c.group)
		found, _ := offsets.Lookup(a.Topic, a.Partition)
		return []any{found.At, found.Metadata}, err
	case "close":
		c.stop()
		<-c.stopped
		c.client.CloseAllowingRebalance()
	default:
		return nil, errors.New("no such command: " + a.Do)
	}
	return nil, nil
}
