# What La Suite's apps want to know of the OIDC provider, without which nobody can log in: `requiredEnv` and `env` of an app.
#
# Names as upstream has them (read in suitenumerique/docs and suitenumerique/meet, env.d/production.dist/backend); cc-ci counts
# the same nine. That the recipes hand them on under these names is unverified.
let
  keycloak = "https://login.example.org/realms/club/protocol/openid-connect";
  endpoint = name: what: path: {
    inherit name;
    example = "${keycloak}/${path}";
    why = "the app asks the OIDC provider there for ${what}";
  };
in
{
  requiredEnv = [
    {
      name = "OIDC_RP_CLIENT_ID";
      example = "docs";
      why = "it is the app's name at the OIDC provider";
    }
    (endpoint "OIDC_OP_JWKS_ENDPOINT" "its keys" "certs")
    (endpoint "OIDC_OP_AUTHORIZATION_ENDPOINT" "a login" "auth")
    (endpoint "OIDC_OP_TOKEN_ENDPOINT" "a token" "token")
    (endpoint "OIDC_OP_USER_ENDPOINT" "who somebody is" "userinfo")
    (endpoint "OIDC_OP_LOGOUT_ENDPOINT" "a logout" "logout")
  ];
  # The other three are the same nearly everywhere.
  env =
    { domain, ... }:
    {
      OIDC_RP_SIGN_ALGO = "RS256";
      OIDC_RP_SCOPES = "openid email";
      OIDC_REDIRECT_ALLOWED_HOSTS = builtins.toJSON [ "https://${domain}" ];
    };
}
