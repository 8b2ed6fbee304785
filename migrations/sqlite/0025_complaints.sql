-- A customer may complain of more than one thing while a case is open; each has the number that he was told.
DROP INDEX complaint_case;
CREATE INDEX complaint_of_case ON complaint (case_id);
