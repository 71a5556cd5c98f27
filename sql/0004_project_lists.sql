-- What a project may be used for.

-- Lists of names as JSON; NULL restricts nothing.
ALTER TABLE projects ADD COLUMN models TEXT;
ALTER TABLE projects ADD COLUMN endpoints TEXT;
ALTER TABLE projects ADD COLUMN tiers TEXT;
