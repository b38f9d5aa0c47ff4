// Package table opens the DynamoDB table that the environment names.
package table

import (
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	lddynamodb "github.com/launchdarkly/go-server-sdk-dynamodb/v4"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
)

// Name is the table's name.
func Name() string { return os.Getenv("LAUNCHDARKLY_DYNAMODB_TABLE") }

// Prefix is the namespace prefix, empty for none.
func Prefix() string { return os.Getenv("LAUNCHDARKLY_DYNAMODB_PREFIX") }

// Client speaks to the endpoint that the environment names, with credentials from it alone, as in
// Lambda.
func Client() *dynamodb.Client {
	options := dynamodb.Options{
		Region:      os.Getenv("AWS_REGION"),
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(environment)),
	}
	if endpoint := os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"); endpoint != "" {
		options.EndpointResolver = dynamodb.EndpointResolverFromURL(endpoint)
	}
	return dynamodb.New(options)
}

// Store is LaunchDarkly's own store over the table.
func Store() *lddynamodb.StoreBuilder[subsystems.PersistentDataStore] {
	return lddynamodb.DataStore(Name()).Prefix(Prefix()).DynamoClient(Client())
}
