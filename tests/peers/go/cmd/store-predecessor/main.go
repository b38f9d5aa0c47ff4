// Command store-predecessor is a store function that writes as the first "flags in DynamoDB"
// pipelines for LaunchDarkly did: any event fetches the environment, empties the table and puts
// every item anew, in batches of 25.
package main

import (
	"context"
	"encoding/json"
	"log"
	"strconv"

	"flagcache/peers/internal/function"
	"flagcache/peers/internal/table"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The most writes that DynamoDB takes in one batch.
const batchSize = 25

type store struct {
	client *dynamodb.Client
	name   string
}

func main() {
	store := store{client: table.Client(), name: table.Name()}
	log.Fatal(function.Serve(func(json.RawMessage) (any, error) {
		payload, err := table.Fetch()
		if err != nil {
			return nil, err
		}
		if err := store.empty(); err != nil {
			return nil, err
		}
		return map[string]int{"flags": len(payload.Flags), "segments": len(payload.Segments)}, store.fill(payload)
	}))
}

func (s store) empty() error {
	var requests []types.WriteRequest
	pages := dynamodb.NewScanPaginator(s.client, &dynamodb.ScanInput{
		TableName:                aws.String(s.name),
		ConsistentRead:           aws.Bool(true),
		ProjectionExpression:     aws.String("#namespace, #key"),
		ExpressionAttributeNames: map[string]string{"#namespace": "namespace", "#key": "key"},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return err
		}
		for _, key := range page.Items {
			requests = append(requests, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: key}})
		}
	}
	return s.write(requests)
}

func (s store) fill(payload table.Payload) error {
	var requests []types.WriteRequest
	for namespace, items := range map[string]map[string]json.RawMessage{
		"features": payload.Flags,
		"segments": payload.Segments,
	} {
		for key, raw := range items {
			var item table.Item
			if err := json.Unmarshal(raw, &item); err != nil {
				return err
			}
			requests = append(requests, put(map[string]types.AttributeValue{
				"namespace": text(namespace),
				"key":       text(key),
				"version":   &types.AttributeValueMemberN{Value: strconv.Itoa(item.Version)},
				"item":      text(string(raw)),
			}))
		}
	}
	requests = append(requests, put(map[string]types.AttributeValue{
		"namespace": text("$inited"),
		"key":       text("$inited"),
	}))
	return s.write(requests)
}

func (s store) write(requests []types.WriteRequest) error {
	for len(requests) > 0 {
		batch := requests[:min(batchSize, len(requests))]
		requests = requests[len(batch):]
		for len(batch) > 0 {
			answer, err := s.client.BatchWriteItem(context.Background(), &dynamodb.BatchWriteItemInput{
				RequestItems: map[string][]types.WriteRequest{s.name: batch},
			})
			if err != nil {
				return err
			}
			batch = answer.UnprocessedItems[s.name]
		}
	}
	return nil
}

func put(item map[string]types.AttributeValue) types.WriteRequest {
	return types.WriteRequest{PutRequest: &types.PutRequest{Item: item}}
}

func text(value string) types.AttributeValue {
	return &types.AttributeValueMemberS{Value: value}
}
