# HedgeDoc 1: notes written together, with PostgreSQL.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "hedgedoc";
  # Read in hedgedoc/hedgedoc, lib/web/statusRouter.js: 200 and `ready`, which is false while it is in maintenance. `/status`
  # is 403 where statistics are off. HedgeDoc before 1.10 has no `/_health` (unverified): `healthPath = "/"` there.
  healthPath = "/_health";
  healthOk = [ 200 ];
  healthBody = "\"ready\" *: *true";
  # Unverified.
  healthTimeout = 300;
  # Unverified.
  timeout = 600;
  stateful = true;
}
