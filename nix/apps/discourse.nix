# Discourse: a forum, with PostgreSQL and Redis.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "discourse";
  # cc-ci: 200; so do Discourse's own tests of `forums_controller`.
  healthPath = "/srv/status";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 600;
  # cc-ci saw it boot for 15 to 25 minutes.
  timeout = 2400;
  stateful = true;
}
