// A real issuer for the end-to-end tests: oidc-provider, the engine under Logto, on 127.0.0.1 and a free port.
//
// Prints one JSON line once it listens. Stops on SIGTERM, and when its standard input closes, so that it never
// outlives a test run that was killed.
//
// What may be asked for:
//   client_credentials  client "m2m"; `resource` decides audience and signature, see `resourceServer`
//                       client "mcp", the same with its secret in Authorization, as MCP clients send it
//   authorization_code  client "web"; the user "user_1" is signed in without a form, each time anew
//   auth_time           in access tokens of a user, where `resource` has `?auth_time`
//   control port        POST /rotate: new keys, the old ones gone · POST /outage: connections die · POST /recovery
//                       GET /fetches: how often the keys were asked for
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
const SCOPES = 'read:items write:items';
const USER = { sub: 'user_1', email: 'foo@example.com', email_verified: true, username: 'foo' };
const MOUNT = '/oidc'; // Logto's issuer has this path; a gateway must not lose it

let generation = 0;
let outage = false;
let fetches = 0;
let provider;

function keyId(alg) {
  return `${alg.toLowerCase()}-${generation}`;
}

async function makeKey(alg) {
  const { privateKey } = await generateKeyPair(alg === 'EdDSA' ? 'Ed25519' : alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: keyId(alg) };
}

// `https://my-api.example?alg=RS256&ttl=2` stands for the audience `https://my-api.example`, signed so, valid so long.
function resourceServer(_ctx, resource) {
  const options = new URL(resource).searchParams;
  const alg = options.get('alg') ?? 'ES384';
  return {
    audience: resource.split('?')[0],
    scope: SCOPES,
    accessTokenFormat: 'jwt',
    accessTokenTTL: Number(options.get('ttl') ?? 600),
    jwt: { sign: { alg, kid: keyId(alg) } },
  };
}

function lifetime(_ctx, token) {
  return token.resourceServer?.accessTokenTTL ?? 600;
}

function userClaims(ctx, token) {
  if (!token.accountId) return undefined;
  const claims = { email: USER.email, username: USER.username };
  const isWanted = ctx.oidc.params.resource?.includes('auth_time');
  return isWanted ? { ...claims, auth_time: ctx.oidc.entities.AuthorizationCode.authTime } : claims;
}

async function grantEverything(ctx) {
  const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
  grant.addOIDCScope('openid email profile');
  for (const resource of [ctx.oidc.params.resource ?? []].flat()) grant.addResourceScope(resource, SCOPES);
  await grant.save();
  return grant;
}

async function makeProvider(issuer) {
  return new Provider(issuer, {
    jwks: { keys: await Promise.all(ALGORITHMS.map(makeKey)) },
    cookies: { keys: ['only for tests'] },
    scopes: ['openid', 'email', 'profile'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['username'] },
    conformIdTokenClaims: false,
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
    ttl: { AccessToken: lifetime, ClientCredentials: lifetime, IdToken: 600, Interaction: 60, Session: 600, Grant: 600 },
    clientDefaults: { token_endpoint_auth_method: 'client_secret_post' },
    clients: [
      {
        client_id: 'm2m',
        client_secret: 'm2m-secret',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: 'mcp',
        client_secret: 'mcp-secret',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_basic',
      },
      {
        client_id: 'web',
        client_secret: 'web-secret',
        grant_types: ['authorization_code'],
        redirect_uris: ['http://127.0.0.1/callback'],
        id_token_signed_response_alg: 'ES384',
      },
    ],
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ ...USER, sub }) }),
    loadExistingGrant: grantEverything,
    interactions: { url: (_ctx, interaction) => `${MOUNT}/sign-in/${interaction.uid}` },
    extraTokenClaims: userClaims,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: resourceServer,
      },
    },
  });
}

function answer(request, response) {
  if (request.url === `${MOUNT}/jwks`) fetches += 1;
  if (outage) return request.socket.destroy();
  if (!request.url.startsWith(`${MOUNT}/`)) return response.writeHead(404).end();
  if (request.url.startsWith(`${MOUNT}/sign-in/`)) {
    return provider.interactionFinished(request, response, { login: { accountId: USER.sub } });
  }
  request.originalUrl = request.url; // oidc-provider reads its mount path off the difference, as under Express
  request.url = request.url.slice(MOUNT.length);
  return provider.callback()(request, response);
}

const controls = {
  '/rotate': async (issuer) => {
    generation += 1;
    provider = await makeProvider(issuer);
  },
  '/outage': () => {
    outage = true;
  },
  '/recovery': () => {
    outage = false;
  },
};

async function listen(handler) {
  const server = createServer(handler);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return [server, `http://127.0.0.1:${server.address().port}`];
}

const [publicServer, origin] = await listen(answer);
const issuer = origin + MOUNT;
provider = await makeProvider(issuer);

const [controlServer, control] = await listen(async (request, response) => {
  if (request.method === 'GET' && request.url === '/fetches') return response.end(String(fetches));
  const action = request.method === 'POST' ? controls[request.url] : undefined;
  await action?.(issuer);
  response.writeHead(action ? 204 : 404).end();
});

function stop() {
  for (const server of [publicServer, controlServer]) {
    server.close();
    server.closeAllConnections();
  }
  process.exit(0);
}
process.on('SIGTERM', stop);
process.stdin.on('end', stop).resume();

const endpoints = { jwks: `${issuer}/jwks`, token_endpoint: `${issuer}/token`, authorization_endpoint: `${issuer}/auth` };
console.log(JSON.stringify({ issuer, ...endpoints, control }));
