// panva's certified OpenID Connect provider, with what it leaves to whoever runs it: people, and the password grant.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import Provider, { errors } from 'oidc-provider';

const given = JSON.parse(readFileSync(process.argv[2]));
const people = new Map(Object.entries(given.people));
const bySubject = new Map(Object.values(given.people).map((person) => [person.claims.sub, person]));
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });

const provider = new Provider(given.issuer, {
  jwks: { keys: [{ ...key, alg: 'ES256', use: 'sig', kid: 'one' }] },
  cookies: { keys: ['a key of these tests'] },
  clients: given.clients,
  claims: { openid: ['sub', 'user_name'], profile: ['preferred_username', 'groups'], email: ['email'] },
  scopes: ['openid', 'profile', 'email'],
  pkce: { required: () => true },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: given.clients.some((one) => one.redirect_uris.length) } },
  ttl: { AccessToken: 60, Grant: 60, IdToken: 60 },
  findAccount: (ctx, sub) => bySubject.has(sub) && { accountId: sub, claims: () => bySubject.get(sub).claims },
});

async function passwordGrant(ctx) {
  const { client, params } = ctx.oidc;
  const person = people.get(params.username);
  if (!person || person.password !== params.password) throw new errors.InvalidGrant('wrong');
  const allowed = client.scope.split(' ');
  const scopes = params.scope ? params.scope.split(' ') : allowed;
  if (scopes.some((one) => !allowed.includes(one))) throw new errors.InvalidScope('not for this client', params.scope);
  const of = { accountId: person.claims.sub, client, clientId: client.clientId };
  const grant = new provider.Grant(of);
  grant.addOIDCScope(scopes.join(' '));
  const grantId = await grant.save();
  const token = new provider.AccessToken({ ...of, grantId, gty: 'password', scope: scopes.join(' ') });
  const idToken = new provider.IdToken(person.claims, { ctx });
  idToken.scope = token.scope;
  ctx.body = {
    access_token: await token.save(),
    expires_in: token.expiration,
    id_token: await idToken.issue({ use: 'idtoken' }),
    // As UAA does, whose groups are scopes.
    scope: [...scopes, ...person.claims.groups].join(' '),
    token_type: token.tokenType,
  };
}

provider.on('server_error', (ctx, error) => console.error(error));
provider.registerGrantType('password', passwordGrant, ['username', 'password', 'scope']);
const tls = { cert: readFileSync(given.certificate), key: readFileSync(given.key) };
createServer(tls, provider.callback()).listen(given.port, '127.0.0.1');
