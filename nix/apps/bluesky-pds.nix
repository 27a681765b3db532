# Bluesky PDS: a personal data server of the AT protocol. Its own Caddy has the certificate (TLS passthrough), also for handles.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "bluesky-pds";
  # 200 and the version when its database answers, else 503: read in bluesky-social/atproto, packages/pds/src/basic-routes.ts;
  # cc-ci asks for the same.
  healthPath = "/xrpc/_health";
  healthOk = [ 200 ];
  healthBody = "\"version\"";
  # Caddy gets a certificate on the first request. The time is unverified.
  healthTimeout = 300;
  # Unverified.
  timeout = 600;
  stateful = true;
}
