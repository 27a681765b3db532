# Keycloak: one login for many apps, with MariaDB.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "keycloak";
  # cc-ci: 200. `/health/ready` is on the management port 9000, which no proxy reaches:
  # https://www.keycloak.org/observability/health
  healthPath = "/realms/master";
  healthOk = [ 200 ];
  # cc-ci saw 502 for more than 600 s on small hosts.
  healthTimeout = 900;
  # Unverified.
  timeout = 900;
  stateful = true;
}
