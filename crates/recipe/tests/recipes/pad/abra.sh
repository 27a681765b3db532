#!/bin/bash
export PAD_CONFIG_VERSION=v2
