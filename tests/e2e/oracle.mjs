// Another opinion on access tokens: oauth4webapi's check of RFC 9068, which shares no line with the gateway.
//
// Reads a JSON object a line: `authorization` is the value of the field, `issuer`, `audience`, `algorithms` and `keys`
// (a JWK Set's) are what the resource server knows, `now` is its time in seconds since the epoch. Answers each with a
// line: null where the token is accepted, else why it is not. Nothing is fetched: the keys come with the question.
import { createInterface } from 'node:readline';
import { clockTolerance, customFetch, validateJwtAccessToken } from 'oauth4webapi';

async function judge({ authorization, issuer, audience, algorithms, keys, now }) {
  // The library's clock counts from the machine's: it has to stand, so that a claim at the very limit has one verdict.
  Date.now = () => now * 1000;
  const server = { issuer, jwks_uri: new URL('/jwks', issuer).href };
  const options = {
    signingAlgorithms: algorithms,
    [clockTolerance]: 0,
    [customFetch]: async () => Response.json({ keys }),
  };
  try {
    const request = new Request('https://resource.example/', { headers: { authorization } });
    await validateJwtAccessToken(server, request, audience, options);
    return null;
  } catch (error) {
    return error.message;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await judge(JSON.parse(line))));
}
