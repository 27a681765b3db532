# Mattermost, the long-term release, with PostgreSQL.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "mattermost-lts";
  # cc-ci: 200 and `{"status":"OK"}`.
  healthPath = "/api/v4/system/ping";
  healthOk = [ 200 ];
  healthBody = "\"status\" *: *\"OK\"";
  # Unverified.
  healthTimeout = 300;
  # Unverified.
  timeout = 600;
  # A major PostgreSQL needs a person; such a version is held.
  stateful = true;
}
