# n8n: work flows.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "n8n";
  # Read in n8n-io/n8n, packages/cli/src/abstract-server.ts: 200 once its database is connected and migrated, else 503;
  # `/healthz` says only that it can be reached. https://docs.n8n.io/hosting/logging-monitoring/monitoring/ says the same.
  healthPath = "/healthz/readiness";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 300;
  # Unverified.
  timeout = 600;
  stateful = true;
}
