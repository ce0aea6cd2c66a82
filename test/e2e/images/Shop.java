import java.util.logging.FileHandler;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** An application in a JVM that knows nothing of metrics, and may have its log in a file. */
public class Shop {
    public static void main(String[] args) throws Exception {
        System.out.println("open");
        String file = System.getProperty("shop.log");
        if (file != null) {
            FileHandler appender = new FileHandler(file, true);
            appender.setFormatter(new SimpleFormatter());
            Logger log = Logger.getLogger("shop");
            log.setUseParentHandlers(false);
            log.addHandler(appender);
            for (int i = 1; i <= 300; i++) {
                log.info("line " + i + ".");
            }
        }
        Thread.currentThread().join();
    }
}
