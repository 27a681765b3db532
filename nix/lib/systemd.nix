# Command lines as systemd reads them: every word in quotes, `%` and `$` doubled. No shell is involved.
#
#   commandLine [ "/bin/freehold" "app" "deploy" "a.example.org" ] → ''"/bin/freehold" "app" "deploy" "a.example.org"''
rec {
  word =
    text: "\"${builtins.replaceStrings [ "\\" "\"" "%" "$" "\n" ] [ "\\\\" "\\\"" "%%" "$$" "\\n" ] text}\"";
  commandLine = words: builtins.concatStringsSep " " (map word words);
}
