// A peer of the benchmark: Fastify's proxy, and jose for the tokens. Argument: a JSON file with the settings.
import { readFileSync } from 'node:fs'
import proxy from '@fastify/http-proxy'
import Fastify from 'fastify'
import { createLocalJWKSet, jwtVerify } from 'jose'

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const keys = createLocalJWKSet(settings.keys)
const rules = { issuer: settings.issuer, audience: settings.audience, algorithms: settings.algorithms }

async function authenticate(request, reply) {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ')
  try {
    if (scheme !== 'Bearer') throw new Error('no token')
    request.identity = (await jwtVerify(token, keys, rules)).payload
  } catch {
    return reply.code(401).header('www-authenticate', 'Bearer').send({ error: 'invalid_token' })
  }
}

const app = Fastify({ logger: false })
app.decorateRequest('identity', null)
await app.register(proxy, {
  upstream: settings.upstream,
  preHandler: authenticate,
  undici: { connections: 128 },
  replyOptions: {
    rewriteRequestHeaders: (request, { authorization, ...headers }) => ({
      ...headers,
      'x-identity': JSON.stringify(request.identity),
    }),
  },
})
await app.listen({ host: '127.0.0.1', port: settings.port })
