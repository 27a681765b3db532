module freehold.invalid/interop/godotenv

go 1.24.0

tool github.com/joho/godotenv/cmd/godotenv

require github.com/joho/godotenv v1.5.1 // indirect
