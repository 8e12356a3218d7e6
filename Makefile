# Two commands matter: `make demo` and `make test`. Everything they need, they set up.
PY := .venv/bin/python

.PHONY: protos
protos: ## regenerate the stubs beside the .proto files (with the oldest supported grpcio-tools)
	$(PY) -m grpc_tools.protoc -I protos --python_out=protos --pyi_out=protos --grpc_python_out=protos \
	  $$(find protos -name '*.proto' | sort)
