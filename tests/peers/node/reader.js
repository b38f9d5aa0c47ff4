// The reader function as LaunchDarkly's Node SDK makes it: daemon mode over a DynamoDB table.
//
// Serves the Lambda Runtime API: an event {"context": {...}, "flag": KEY} asks for one flag, one
// without "flag" for all. Table, prefix and endpoint come from the same variables as our reader's.
'use strict';

const http = require('node:http');
const { init, PersistentDataStoreWrapper } = require('@launchdarkly/node-server-sdk');
const { Table } = require('./table.js');

const INVOCATION = '/2018-06-01/runtime/invocation/';
/** How long the SDK's own DynamoDB integration caches unless told otherwise. */
const CACHE_SECONDS = 15;

const logger = {
  error: (...words) => console.error(...words),
  warn: () => {},
  info: () => {},
  debug: () => {},
};

async function makeClient() {
  const table = new Table(
    process.env.LAUNCHDARKLY_DYNAMODB_TABLE,
    process.env.LAUNCHDARKLY_DYNAMODB_PREFIX,
    process.env.AWS_ENDPOINT_URL_DYNAMODB,
  );
  const client = init('sdk-key', {
    featureStore: new PersistentDataStoreWrapper(table, CACHE_SECONDS, logger),
    useLdd: true,
    sendEvents: false,
    logger,
  });
  await client.waitForInitialization({ timeout: 10 });
  return client;
}

async function answer(client, event) {
  if (event.flag !== undefined) {
    const fallback = event.default ?? null;
    const detail = await client.variationDetail(event.flag, event.context, fallback);
    return {
      flag: event.flag,
      value: detail.value,
      variation: detail.variationIndex ?? null,
      reason: detail.reason,
    };
  }
  const state = await client.allFlagsState(event.context, { withReasons: true });
  if (!state.valid) {
    throw new Error('the SDK could not read the table');
  }
  const { $flagsState: details, $valid: _, ...values } = state.toJSON();
  const flags = {};
  for (const [key, value] of Object.entries(values)) {
    const { variation = null, reason, version } = details[key];
    flags[key] = { value, variation, reason, version };
  }
  return { flags };
}

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const request = http.request({ host, port, agent, method, path, headers }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(parts) }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function serve(client) {
  for (;;) {
    const invocation = await call('GET', `${INVOCATION}next`);
    const id = invocation.headers['lambda-runtime-aws-request-id'];
    let outcome = 'response';
    let body;
    try {
      body = await answer(client, JSON.parse(invocation.body));
    } catch (error) {
      outcome = 'error';
      body = { errorType: error.name, errorMessage: error.message };
    }
    await call('POST', `${INVOCATION}${id}/${outcome}`, JSON.stringify(body));
  }
}

makeClient().then(serve);
