# Immich: photographs and films, with PostgreSQL (VectorChord), Redis and machine learning.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "immich";
  # 200 and `{"res":"pong"}` without a login: read in immich-app/immich, server/src/controllers/server.controller.ts.
  healthPath = "/api/server/ping";
  healthOk = [ 200 ];
  healthBody = "pong";
  # Unverified.
  healthTimeout = 600;
  # Unverified.
  timeout = 900;
  # All volumes are copied before an upgrade, the photographs with them: mind the disk. The recipe's backup had no database
  # until lately (cc-ci), so without the copy there is no way back.
  stateful = true;
}
