"""Sources of documents: folders, web addresses, object stores, looked at again and again."""
