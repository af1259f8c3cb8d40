// A certified OpenID Connect provider (panva/node-oidc-provider) with its own pages, for as long as a test runs.
// Its one argument is JSON: {"port", "people": {sub: claims}, "clients": [{client_id, client_secret, redirect_uris}]}.
import Provider from "oidc-provider";

const { port, people, clients } = JSON.parse(process.argv[2]);
const issuer = `http://localhost:${port}`;
const provider = new Provider(issuer, {
  clients: clients.map((client) => ({ grant_types: ["authorization_code"], response_types: ["code"], ...client })),
  claims: { openid: ["sub"], profile: ["preferred_username", "name"], email: ["email"], groups: ["groups"] },
  scopes: ["openid", "profile", "email", "groups"],
  cookies: { keys: ["only for tests"] },
  pkce: { methods: ["S256"], required: () => true },
  findAccount: (_ctx, sub) =>
    people[sub] && { accountId: sub, claims: () => ({ sub, ...people[sub] }) },
});
provider.listen(port, "127.0.0.1", () => console.log(`listening at ${issuer}`));
