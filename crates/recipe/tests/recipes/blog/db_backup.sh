#!/bin/sh
set -eu
case "$1" in
  backup) mysqldump --all-databases > /var/lib/mysql/backup.sql ;;
  restore) mysql < /var/lib/mysql/backup.sql ;;
esac
