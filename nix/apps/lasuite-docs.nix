# La Suite Docs: documents written together, with PostgreSQL, Redis and an S3 store of its own.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "lasuite-docs";
  # The frontend's first page (unverified); the backend has `/__heartbeat__` (unverified).
  healthPath = "/";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 300;
  # cc-ci: TIMEOUT=900.
  timeout = 900;
  stateful = true;

  # cc-ci: it does not run without an OIDC provider.
  inherit (import ../lib/cc-oidc.nix) requiredEnv env;
  recipeSecrets.oidc_rpcs = {
    versionVariable = "SECRET_OIDC_RPCS_VERSION";
    required = true;
    why = "it is the secret that the OIDC provider gave this client";
  };
}
