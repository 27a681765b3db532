# La Suite Meet: video calls, with LiveKit, PostgreSQL and Redis.
#
# LiveKit's media ports (UDP) are published by Docker, which lets them in past the firewall's own list; their numbers are the
# recipe's. One of its tags is lightweight, which abra refuses and Freehold warns of.
{ mkCcApp, ... }:
let
  oidc = import ../lib/cc-oidc.nix;
in
mkCcApp {
  recipe = "lasuite-meet";
  # The frontend's first page. Unverified.
  healthPath = "/";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 300;
  # As lasuite-docs. Unverified.
  timeout = 900;
  stateful = true;

  # cc-ci: it wants an OIDC provider. The name of the client's secret is the recipe's (unverified).
  inherit (oidc) requiredEnv;
  env =
    context:
    oidc.env context
    // {
      # The recipe's default has two labels, which a certificate for `*.example.org` does not cover.
      LIVEKIT_DOMAIN = "livekit-${context.domain}";
    };
}
