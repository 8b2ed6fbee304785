-- Only PostgreSQL keeps the days of the log apart: here they go in small deletions.
SELECT 1;
