# Mailu: mail. Its ports are the host's own, so one host runs it once.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "mailu";
  # The front sends to the webmail or the login: unverified. Its own `/health` is not reached by the proxy.
  healthPath = "/";
  healthOk = [
    200
    301
    302
  ];
  # Mail has to be taken as well.
  healthTcp = {
    port = 25;
    connects = 3;
  };
  # Unverified.
  healthTimeout = 600;
  # Unverified.
  timeout = 900;
  # sqlite in `/data`, and the mail. The recipe has no backup labels.
  stateful = true;

  # Published in host mode.
  tcpPorts = [
    25
    110
    143
    465
    587
    993
    995
  ];

  requiredEnv = [
    {
      name = "MAIL_DOMAIN";
      example = "example.org";
      why = "it is what comes after the `@`";
    }
    {
      name = "HOSTNAMES";
      example = "mail.example.org";
      why = "mail servers are known by their names";
    }
    {
      name = "TRAEFIK_STACK_NAME";
      example = "traefik_example_org";
      why = "the recipe uses the volume `<stack>_letsencrypt` of the proxy, and no proxy is run from here";
    }
  ];
  env =
    { proxyStackName, ... }:
    {
      # The certificate is the proxy's, and there is no acme.json to take one from. Give Mailu one of its own for TLS on the
      # mail ports (`TLS_FLAVOR = "cert"`: unverified).
      TLS_FLAVOR = "notls";
    }
    // (if proxyStackName == null then { } else { TRAEFIK_STACK_NAME = proxyStackName; });
}
