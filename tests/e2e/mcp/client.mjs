// The official client of npm against an MCP server that asks for tokens, by client credentials or as a signed-in user.
//
// Prints one JSON line: the tools, what a call said, and the status of each request, or the error that ended it.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, issuer, grant, scope] = process.argv.slice(2);
const CALLBACK = 'http://127.0.0.1/callback';
const seen = [];

async function watch(input, init) {
  const response = await fetch(input, init);
  if (new URL(input).pathname === '/mcp') seen.push([init?.method ?? 'GET', response.status]);
  return response;
}

// Signs in at the issuer as a browser would: it keeps cookies and follows redirects up to the client's own address.
async function signIn(start) {
  const cookies = new Map();
  for (let next = start; ; ) {
    if (String(next).startsWith(CALLBACK)) return new URL(next).searchParams.get('code');
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(next, { redirect: 'manual', headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [name, ...value] = line.split(';')[0].split('=');
      cookies.set(name, value.join('='));
    }
    next = new URL(response.headers.get('location'), next);
  }
}

class SignedInUser {
  redirectUrl = CALLBACK;
  clientMetadata = { redirect_uris: [CALLBACK], token_endpoint_auth_method: 'client_secret_post' };
  clientInformation = () => ({ client_id: 'web', client_secret: 'web-secret', issuer });
  tokens = () => this.saved;
  saveTokens = (tokens) => {
    this.saved = tokens;
  };
  redirectToAuthorization = async (address) => {
    this.code = await signIn(address);
  };
  saveCodeVerifier = (verifier) => {
    this.verifier = verifier;
  };
  codeVerifier = () => this.verifier;
}

const user = new SignedInUser();
// A token to begin with, which may lack a scope.
if (process.env.TOKEN) user.saved = { access_token: process.env.TOKEN, token_type: 'Bearer' };
// As a machine, this client asks for its own scope, whatever a challenge names.
const machine = new ClientCredentialsProvider({
  clientId: 'mcp',
  clientSecret: 'mcp-secret',
  expectedIssuer: issuer,
  scope,
});
const makeTransport = () =>
  new StreamableHTTPClientTransport(new URL(url), { authProvider: grant === 'user' ? user : machine, fetch: watch });

async function connect() {
  const client = new Client({ name: 'test', version: '1' });
  const transport = makeTransport();
  try {
    await client.connect(transport);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await transport.finishAuth(user.code);
    await client.connect(makeTransport());
  }
  return client;
}

const report = { seen };
try {
  const client = await connect();
  report.tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
  const result = await client.callTool({ name: 'read_item', arguments: { name: 'a' } });
  report.read = JSON.parse(result.content[0].text);
  await client.close();
} catch (error) {
  report.error = String(error);
}
console.log(JSON.stringify(report));
