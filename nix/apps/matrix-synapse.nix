# Matrix Synapse: a homeserver, with PostgreSQL.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "matrix-synapse";
  # 200 and JSON without a login, by the Matrix specification: https://spec.matrix.org/latest/client-server-api/#get_matrixclientversions
  healthPath = "/_matrix/client/versions";
  healthOk = [ 200 ];
  healthBody = "\"versions\"";
  # Unverified.
  healthTimeout = 300;
  # cc-ci: TIMEOUT=900.
  timeout = 900;
  stateful = true;
}
