"""The four services the gateway calls: domain values in and out, protobuf in between."""
