export NGINX_VERSION=v3
export ENTRYPOINT_VERSION="v$(cat VERSION)"
export ENTRYPOINT_VERSION="v2"
export BUILD=$(date +%s)
