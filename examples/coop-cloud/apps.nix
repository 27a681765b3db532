# The apps of a host, and what they stand on. This is all of Co-op Cloud that `configuration.nix` says.
{
  services.coop-cloud-base = {
    # fullchain.pem and privkey.pem for `*.example.org`.
    proxy.certificateDirectory = "/var/lib/ci-certs/live";
    proxy.domain = "traefik.example.org";
  };

  # Follows the newest version of its recipe every night; a major version waits for a person.
  services.coop-cloud.ghost = {
    enable = true;
    domain = "blog.example.org";
    version = "1.3.0+6.42.0-alpine";
    autoUpdate = true;
    env.MAIL_TRANSPORT = "SMTP";
    secrets.smtp_password.sopsPath = "ghost_smtp_password";
  };

  # Exactly this version, until this line is changed.
  services.coop-cloud.cryptpad = {
    enable = true;
    domain = "pad.example.org";
    version = "0.4.4+v2024.12.0";
    env.SANDBOX_DOMAIN = "sandbox-pad.example.org";
  };

  # No page to ask for: its port is the gate.
  services.coop-cloud.mumble = {
    enable = true;
    domain = "voice.example.org";
    version = "1.0.0+v1.6.870-0";
  };
}
