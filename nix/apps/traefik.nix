# Traefik, the proxy of a host: wildcard certificate from files, no ACME. `../nixos/coop-cloud-base.nix` runs it.
#
# A renewed certificate is taken by its content; nobody raises SECRET_WILDCARD_*_VERSION by hand.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "traefik";
  unitName = "deploy-proxy";
  needsProxy = false;
  # Left out, the newest version is taken once, and kept.
  versionRequired = false;

  # Names of settings and secrets: cc-ci of the recipe maintainers, DECISIONS; a workshop's NixOS configuration uses the same.
  # The two version variables are written with the secrets.
  env.WILDCARDS_ENABLED = "1";
  composeFiles = [ "compose.wildcard.yml" ];
  recipeSecrets = {
    ssl_cert = {
      rotation = "content";
      versionVariable = "SECRET_WILDCARD_CERT_VERSION";
    };
    ssl_key = {
      rotation = "content";
      versionVariable = "SECRET_WILDCARD_KEY_VERSION";
    };
  };

  # The dashboard is off unless asked for, so no path of its own answers. The recipe's container has `traefik healthcheck`,
  # which Swarm waits for. That port 443 takes connections then: unverified.
  healthPath = null;
  healthTcp = {
    port = 443;
    connects = 3;
  };
  # Unverified.
  healthTimeout = 120;
  # Unverified.
  timeout = 300;
  stateful = false;
}
