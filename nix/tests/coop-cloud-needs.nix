# What an operator must say of the apps that cannot do without, for tests.
let
  oidc = {
    OIDC_OP_AUTHORIZATION_ENDPOINT = "x";
    OIDC_OP_JWKS_ENDPOINT = "x";
    OIDC_OP_LOGOUT_ENDPOINT = "x";
    OIDC_OP_TOKEN_ENDPOINT = "x";
    OIDC_OP_USER_ENDPOINT = "x";
    OIDC_RP_CLIENT_ID = "x";
  };
in
{
  cryptpad.env.SANDBOX_DOMAIN = "sandbox-pad.example.org";
  drone = {
    env = {
      GITEA_DOMAIN = "git.example.org";
      GITEA_CLIENT_ID = "id";
    };
    secrets = {
      rpc_secret.sopsPath = "drone_rpc_secret";
      client_secret.sopsPath = "drone_client_secret";
    };
  };
  lasuite-docs = {
    env = oidc;
    secrets.oidc_rpcs.sopsPath = "docs_oidc";
  };
  lasuite-meet.env = oidc;
  mailu.env = {
    MAIL_DOMAIN = "example.org";
    HOSTNAMES = "mail.example.org";
  };
}
