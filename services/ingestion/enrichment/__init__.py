"""What is found out about a document between parsing and cutting: language, dates, identifiers."""
