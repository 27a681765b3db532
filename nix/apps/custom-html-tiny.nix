# A folder of web pages behind static-web-server, which has no shell.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "custom-html-tiny";
  # cc-ci: 404 for what is not there; with an empty folder that is the first page, too (unverified).
  healthPath = "/";
  healthOk = [
    200
    301
    302
    404
  ];
  # Unverified.
  healthTimeout = 60;
  # Unverified.
  timeout = 300;
  # The pages are in a volume, but no release changes them.
  stateful = false;
}
