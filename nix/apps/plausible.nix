# Plausible: visits counted, with PostgreSQL and ClickHouse.
#
# Versions up to 3.0.0 fetch a file at boot that is gone (cc-ci): they never become healthy.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "plausible";
  # cc-ci: 200 when `clickhouse`, `postgres` and `sites_cache` are ok, else 500 (read in plausible/analytics,
  # lib/plausible_web/controllers/api/system_controller.ex, too); `/` is 500, then 302, and tells nothing.
  healthPath = "/api/health";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 600;
  # cc-ci: 1200 s.
  timeout = 1200;
  stateful = true;
}
