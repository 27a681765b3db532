# Mumble: voice. There is no page to ask for: the gate is its port.
#
# `/` answers with 200 only with `compose.mumbleweb.yml` (cc-ci).
{ mkCcApp, ... }:
mkCcApp {
  recipe = "mumble";
  healthPath = null;
  # cc-ci: three stable connections.
  healthTcp = {
    port = 64738;
    connects = 3;
  };
  # Unverified.
  healthTimeout = 120;
  # Unverified.
  timeout = 300;
  # sqlite.
  stateful = true;

  # Since version 1.0.0 (cc-ci). Older ones need entry points of Traefik instead: set `composeFiles`.
  composeFiles = [ "compose.host-ports.yml" ];
  tcpPorts = [ 64738 ];
  udpPorts = [ 64738 ];
}
