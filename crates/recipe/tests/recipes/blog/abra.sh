export DB_BACKUP_VERSION=v4

# Runs in the container of `db`: abra app cmd DOMAIN db upgrade_tables
upgrade_tables() {
  mysql_upgrade --force
  export NOT_ONE_OF_OURS=v1
}
