# Uptime Kuma: watches other services.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "uptime-kuma";
  # Read in louislam/uptime-kuma, extra/healthcheck.js: 302, to the first set-up or the dashboard. A status page as the first
  # page is 200 (unverified).
  healthPath = "/";
  healthOk = [
    200
    302
  ];
  # Unverified.
  healthTimeout = 120;
  # Unverified.
  timeout = 300;
  # sqlite.
  stateful = true;
}
