# CryptPad: documents that the server cannot read. Stateful, without a database.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "cryptpad";
  # Its first page. Unverified.
  healthPath = "/";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 300;
  # Unverified.
  timeout = 600;
  stateful = true;

  # cc-ci: a second host is needed, and it must be another one.
  requiredEnv = [
    {
      name = "SANDBOX_DOMAIN";
      example = "sandbox-pad.example.org";
      why = "CryptPad runs what documents bring along under a second name, so that it cannot reach the first";
      notDomain = true;
    }
  ];
  checks =
    { domain, env, ... }:
    [
      {
        assertion = (env.SANDBOX_DOMAIN or "") != domain;
        message = "services.coop-cloud.cryptpad.env.SANDBOX_DOMAIN is the app's own domain, `${domain}`: CryptPad needs a second one; set `services.coop-cloud.cryptpad.env.SANDBOX_DOMAIN = \"sandbox-${domain}\";`";
      }
    ];
}
