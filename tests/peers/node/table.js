// How the Node SDK's stores read the table: a `PersistentDataStore` for its
// `PersistentDataStoreWrapper`, with the requests that the SDK's DynamoDB package makes, so that no
// further package is needed. Caching, deserialization and evaluation are the SDK's.
'use strict';

const { DynamoDBClient, GetItemCommand, paginateQuery } = require('@aws-sdk/client-dynamodb');

class Table {
  #client;
  #name;
  #prefix;

  constructor(name, prefix, endpoint) {
    this.#client = new DynamoDBClient({ endpoint });
    this.#name = name;
    this.#prefix = prefix ? `${prefix}:` : '';
  }

  async get(kind, key, done) {
    const item = await this.#item(this.#prefix + kind.namespace, key);
    done(item && descriptor(item));
  }

  async getAll(kind, done) {
    const query = {
      TableName: this.#name,
      KeyConditionExpression: '#namespace = :namespace',
      FilterExpression: 'attribute_not_exists(deleted) OR deleted = :no',
      ExpressionAttributeNames: { '#namespace': 'namespace' },
      ExpressionAttributeValues: {
        ':namespace': { S: this.#prefix + kind.namespace },
        ':no': { BOOL: false },
      },
    };
    const found = [];
    for await (const page of paginateQuery({ client: this.#client }, query)) {
      for (const item of page.Items) {
        found.push({ key: item.key.S, item: descriptor(item) });
      }
    }
    done(found);
  }

  async initialized(done) {
    const mark = `${this.#prefix}$inited`;
    done((await this.#item(mark, mark)) !== undefined);
  }

  init(_all, done) {
    done(new Error('daemon mode never writes'));
  }

  upsert(_kind, _key, _descriptor, done) {
    done(new Error('daemon mode never writes'));
  }

  close() {
    this.#client.destroy();
  }

  getDescription() {
    return 'DynamoDB';
  }

  async #item(namespace, key) {
    const Key = { namespace: { S: namespace }, key: { S: key } };
    const answer = await this.#client.send(new GetItemCommand({ TableName: this.#name, Key }));
    return answer.Item;
  }
}

function descriptor(item) {
  return {
    version: Number(item.version?.N ?? 0),
    deleted: item.deleted?.BOOL ?? false,
    serializedItem: item.item?.S,
  };
}

module.exports = { Table };
