# A folder of web pages behind nginx.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "custom-html";
  # cc-ci takes everything but a server's error: pages may ask for a password, or have no first page.
  healthPath = "/";
  healthOk = [
    200
    301
    302
    401
    403
    404
  ];
  # Unverified.
  healthTimeout = 60;
  # Unverified.
  timeout = 300;
  # The pages are in a volume, but no release changes them.
  stateful = false;
}
